"""Where training rows come from, and which of them are held out."""
