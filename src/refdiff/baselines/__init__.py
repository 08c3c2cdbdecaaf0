"""The methods that Ref-Diff is compared with, and the registry of everything that can be compared."""
