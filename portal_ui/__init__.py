"""The skin of the admin: base classes, filters and templates shared by every app's pages."""
