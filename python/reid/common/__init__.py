"""What every part of the project uses: errors, whole files, locks, seeded generators, the machine."""
