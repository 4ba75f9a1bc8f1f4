"""The page of the leaderboard: one HTML file that needs nothing else, and no network."""
