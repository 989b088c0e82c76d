"""The JSON routes: one file per path, named as its last word."""
