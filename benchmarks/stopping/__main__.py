"""Scores stopping rules on the committed records of both campaigns, with today's acceptance figures first.

The third part is scored as by ``python -m benchmarks.stopping.campaign.third_score`` and ``….calibration --part
third``: its figures are those of the present goals. What follows is history: the parts of the second campaign as by
``….campaign.score --part all`` and ``….campaign.calibration --part confirmation``, and the first campaign as by
``….score``, whose options this command takes.
"""

from benchmarks.reporting import print_figures
from benchmarks.stopping import score
from benchmarks.stopping.campaign import calibration, third_score
from benchmarks.stopping.campaign import score as second_campaign

if __name__ == "__main__":
    current = third_score.report()
    calibration.main(["--part", "third"])
    print_figures(current)
    print("\nhistory: the figures of the second and of the first campaign\n")
    second_campaign.report_committed()
    calibration.main(["--part", "confirmation"])
    score.main()
