"""What the app's pages are made of: who may score what here, the work itself, pictures, words, sharing."""
