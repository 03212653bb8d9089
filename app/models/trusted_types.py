"""What a skops file may hold in addition to what skops trusts: data, and functions by name.

`app.models.skops_nodes` checks how a file uses the names. `app.models.soundness` checks the data that native code
trusts.
"""

from typing import Final

from sklearn.metrics import get_scorer, get_scorer_names

KERNELS: Final = (
    "CompoundKernel",
    "ConstantKernel",
    "DotProduct",
    "ExpSineSquared",
    "Exponentiation",
    "Matern",
    "PairwiseKernel",
    "Product",
    "RBF",
    "RationalQuadratic",
    "Sum",
    "WhiteKernel",
)
"""Kernels of Gaussian processes."""

METRICS: Final = (
    "BrayCurtis",
    "Canberra",
    "Chebyshev",
    "Dice",
    "Euclidean",
    "Hamming",
    "Haversine",
    "Jaccard",
    "Mahalanobis",
    "Manhattan",
    "Minkowski",
    "RogersTanimoto",
    "RussellRao",
    "SEuclidean",
    "SokalSneath",
    "Yule",
)
"""Metrics of the trees of nearest-neighbour models."""

SPLITTERS: Final = (
    "GroupKFold",
    "KFold",
    "ShuffleSplit",
    "StratifiedKFold",
    "StratifiedShuffleSplit",
    "TimeSeriesSplit",
)
"""How a search over parameters has split its rows."""

DATA_TYPES: Final = (
    "numpy.dtype",
    "sklearn.compose._column_transformer.make_column_selector",
    "scipy.interpolate._bsplines.BSpline",
    *(
        f"scipy.sparse._{kind}.{kind}_{form}"
        for kind in ("bsr", "coo", "csc", "csr", "dia")
        for form in ("array", "matrix")
    ),
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._IsotonicCalibration",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(f"sklearn.gaussian_process.kernels.{kernel}" for kernel in KERNELS),
    *(f"sklearn.metrics._dist_metrics.{metric}Distance64" for metric in METRICS),
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    *(f"sklearn.model_selection._split.{splitter}" for splitter in SPLITTERS),
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)
"""Types whose objects hold data, not code."""

SCORE_FUNCTIONS: Final = [get_scorer(name)._score_func for name in get_scorer_names()]  # noqa: SLF001 - no public name
"""The metrics by which a search over parameters may have chosen its estimator. No prediction uses them."""

FUNCTIONS: Final = (
    "numpy.max",
    "numpy.mean",
    "numpy.median",
    "numpy.min",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    *sorted({f"{function.__module__}.{function.__name__}" for function in SCORE_FUNCTIONS}),
    *(
        f"sklearn.feature_selection._{module}.{function}"
        for module, function in (
            ("mutual_info", "mutual_info_classif"),
            ("mutual_info", "mutual_info_regression"),
            ("univariate_selection", "chi2"),
            ("univariate_selection", "f_classif"),
            ("univariate_selection", "f_regression"),
            ("univariate_selection", "r_regression"),
        )
    ),
)
"""Functions that an estimator may refer to. A file may name them, but cannot call them while it is loaded."""

TRUSTED_TYPES: Final = [*DATA_TYPES, *FUNCTIONS]
"""Types and functions that a file may hold in addition to those that skops trusts."""
