"""What is in a release, and whether it may be: pins, locks, licences, holes, secrets, SBOMs."""
