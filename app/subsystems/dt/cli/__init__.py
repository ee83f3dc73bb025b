"""The commands that only the drift tubes have, and theirs in place of the plain ones."""

from app.subsystems.dt.cli.evaluate import evaluate_model, evaluate_saliency
from app.subsystems.dt.cli.labels import learning_curve, simulate_labelling
from app.subsystems.dt.cli.score import score
from app.subsystems.dt.cli.server import demo_dqm
from app.subsystems.dt.cli.train import train

COMMANDS = (score, train, evaluate_model, evaluate_saliency, simulate_labelling, learning_curve, demo_dqm)
