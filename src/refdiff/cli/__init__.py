"""The command line: reads words, calls the library, prints."""
