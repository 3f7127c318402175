"""The offline half: interactions in, a published MAGNET artifact out."""
