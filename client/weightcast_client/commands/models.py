"""The command `client models`."""

from weightcast.models import zoo


def models() -> None:
    """List the trained models that come with weightcast."""
    from weightcast_client.screen.console import show_table

    rows = []
    for name, path in zoo.models().items():
        card = zoo.card(name)
        accuracy = 100 * card["test_correct_float32"] / card["test_images"]
        size = path.stat().st_size / 1e6
        rows.append([name, f"{accuracy:.2f} %", f"{size:.0f} MB", card["setting"]])
    show_table(["model", "test accuracy", "size", "setting"], rows)
