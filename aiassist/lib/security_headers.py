"""Headers of every answer that Django has no setting for."""

SECURITY_HEADERS = {
    "Permissions-Policy": (
        "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), "
        "geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), "
        "usb=()"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    # Browsers' makers advise to turn the old filter off: it opened holes.
    # Source: https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-XSS-Protection
    "X-XSS-Protection": "0",
}
