"""What training fits: the default forest, or the model that a user's file defines."""
