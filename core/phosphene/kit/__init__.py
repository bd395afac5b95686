"""Small tools that every subject uses: checks of arguments, progress, files, figures, pages and the base of all results."""
