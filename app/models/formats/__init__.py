"""The formats that models are stored in beside skops: XGBoost, LightGBM and ONNX, and signed pickles by opt-in."""
