"""A page that plays exported videos in any browser, as a folder of static files; see docs/browser.md."""
