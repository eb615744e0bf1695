"""Health from the shell: `python -m weightcast_web.telemetry.probe PORT` leaves 0 if ready."""

import http.client
import sys

TIMEOUT_S = 4.0


def is_ready(port: int) -> bool:
    """Return whether the service on this machine's port says that it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_ready(int(sys.argv[1])))
