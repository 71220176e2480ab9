"""Which answers are looked at more closely: a share, drawn by the answer's own id."""

import hashlib


def sampled(response_id: str, share: float, purpose: str) -> bool:
    """Whether this answer belongs to the share, 0 to 1, that is drawn for `purpose`.

    The same answer is always drawn alike. Two purposes draw independently of each other, which a
    checksum would not give: CRC-32 is linear.
    """
    digest = hashlib.blake2b(f"{purpose}:{response_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
