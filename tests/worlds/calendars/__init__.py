"""Definitions of calendars and clocks that tests compare with."""
