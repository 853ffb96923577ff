"""How moments read wherever a page says nothing else: 24 hours, never a.m. or p.m."""

DATE_FORMAT = "j M Y"
DATETIME_FORMAT = "j M Y, H:i"
TIME_FORMAT = "H:i"
