"""The command `server`, as it is started."""

from weightcast_web.running.starting import starting


def main() -> None:
    """Entry point."""
    with starting():
        from weightcast_server.cli import main
    main()


if __name__ == "__main__":
    main()
