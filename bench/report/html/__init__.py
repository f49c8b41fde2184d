"""The HTML page: views by section, templates, script, and the check of a page."""
