"""The Ray Serve application: HTTP routes, predictions, and the fleet of replicas behind them."""
