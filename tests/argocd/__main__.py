"""Write what charts/assay/argocd has that is made of something else: ``python -m tests.argocd``."""

import sys

from tests.argocd import generated


def main() -> int:
    """Write every file that is not as it should be, and remove what nothing makes any more."""
    for path in generated.stale():
        text = generated.expected().get(path)
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
