"""The command `weightcast-link`, as it is started."""

from weightcast_web.running.starting import starting


def main() -> None:
    """Entry point."""
    with starting():
        from weightcast_link.cli import main
    main()


if __name__ == "__main__":
    main()
