"""What every part of the project stands on: errors, whole files, seeded generators, the machine."""
