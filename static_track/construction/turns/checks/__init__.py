"""The built-in checks of answers, one module each."""
