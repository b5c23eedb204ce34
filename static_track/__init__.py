"""The static track: banks of recorded calls, and scores of routers on them by arithmetic alone."""
