"""The command `pinhost`: what the binary of the same name does, from the same library."""

import signal
import sys


def main() -> None:
    # The command handles its signals itself; until then they end the process, as they end a binary.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ._pinhost import main as run

    sys.exit(run(["pinhost", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
