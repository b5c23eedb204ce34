"""Routers: the interface, what a router sees and answers, and the built-in routers."""
