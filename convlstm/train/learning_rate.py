"""How the learning rate goes over a run: it is scaled to the run's own length."""

from torch.optim import Optimizer, lr_scheduler

from convlstm.params.groups import Train


def lr_schedule(optimizer: Optimizer, params: Train, iterations: int) -> lr_scheduler.LRScheduler:
    """The learning rate over `iterations` steps, from torch.optim.lr_scheduler.

    step falls by lr_step_factor every lr_step_percent of the run; exponential and cosine end at
    lr_final_factor times lr; onecycle (Smith 2017, arXiv:1708.07120) peaks at lr after 30 % of the
    run.
    """
    final = params.lr_final_factor
    match params.lr_schedule:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "step":
            every = max(1, round(iterations * params.lr_step_percent / 100))
            return lr_scheduler.StepLR(optimizer, every, gamma=params.lr_step_factor)
        case "exponential":
            return lr_scheduler.ExponentialLR(optimizer, gamma=final ** (1 / iterations))
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=params.lr * final)
        case "onecycle":
            return lr_scheduler.OneCycleLR(optimizer, params.lr, total_steps=iterations)
