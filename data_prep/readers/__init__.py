"""One reader per dataset: each turns a raw folder into a checked Index."""
