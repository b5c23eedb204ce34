"""The leaderboard: entries as folders of small files, ranked by what was verified, as pages that need no server."""
