"""The static track: banks of prefixes, and scores of routers over them by arithmetic alone."""
