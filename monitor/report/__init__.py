"""The report of one window of one model: gathered from the store, drawn as SVG, written as one HTML file."""
