"""Scores stopping rules on the committed records of both campaigns.

The first campaign is scored as by ``python -m benchmarks.stopping.score``, whose options this command takes; the second
one as by ``python -m benchmarks.stopping.campaign.score --part all`` and ``….calibration --part confirmation``.
"""

from benchmarks.stopping import score
from benchmarks.stopping.campaign import calibration
from benchmarks.stopping.campaign import score as second_campaign

if __name__ == "__main__":
    score.main()
    second_campaign.report_committed()
    calibration.main(["--part", "confirmation"])
