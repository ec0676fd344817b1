"""What lies in the folder of an archive."""

from entense.archive.manifest import sealed, unsealed


def files(folder):
    """Return what every file holds, hidden ones too."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def plain(found):
    """Return files as they would be in any place: no lock, and no word of a store in receipts."""
    there = {name: content for name, content in found.items() if not name.endswith("/lock")}
    return {name: _plain(one) if "receipts" in name else one for name, one in there.items()}


def _plain(receipt):
    try:
        body = unsealed(receipt, dict)
    except ValueError:  # a damaged one stays as it is
        return receipt
    return sealed({name: value for name, value in body.items() if name != "said"})
