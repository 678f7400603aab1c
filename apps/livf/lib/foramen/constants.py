"""Every constant of the engine, once, with its unit and where it comes from.

Sources: [DESIGN] the contract of this project; [Chen] Chen et al., Orthopaedic Surgery 2022; [own] chosen here, with
the reason beside it. Lengths are mm, areas mm², angles degrees.
"""

from __future__ import annotations

from typing import Final

# --- the label -------------------------------------------------------------------------------------------------------
#: Standard deviation of the Gaussian that turns a binary structure into a smooth indicator, voxels. [own] the shortest
#: that hides the voxel steps of a surface tilted by a few degrees.
SMOOTHING_VOXELS: Final = 0.7
#: A part smaller than this share of its structure is an island and is left out. [own]
ISLAND_SHARE: Final = 0.05
#: A structure smaller than this is not there, mm³. [own] a fiftieth of a small L4-L5 disc.
SMALLEST_STRUCTURE_MM3: Final = 150.0
#: A label with more single missing voxels than this share of its voxels is porous: its smooth surface lies too deep.
#: [own] 0.1 % at most on eleven people's CT.
LARGEST_HOLES: Final = 0.01
#: The disc's centroid lies no further than this from the middle between the pedicles, mm. [own] intact: 5.9 where L5 is
#: transitional, 4.5 at most on 39 others; 8 and more where more than a third of the disc is missing on one side.
LARGEST_DISC_OFFSET_MM: Final = 7.0
#: The disc reaches at least this far to either side of the middle between the pedicles, mm. [own] intact: 20 and more
#: on 26 people's levels and 100 phantoms; the frame rests on the disc, and one cut further in turns it.
LEAST_DISC_REACH_MM: Final = 16.0
#: In the middle between the pedicles, within the first of these, the disc ends at most the second in front of both
#: walls, mm. [own] intact: 2.4 at most on 25 people's levels and 12 phantoms, 8.0 on one with slices of 3 mm; 16 and
#: more where the back of the disc is missing.
DISC_MIDDLE_MM: Final = 8.0
LARGEST_DISC_HOLLOW_MM: Final = 12.0
#: The lines that join the pedicles of each vertebra lie at most this far apart, degrees. [own] intact: 11 at most on 26
#: people's levels.
LARGEST_PEDICLE_TURN_DEG: Final = 18.0
#: Both vertebrae reach this far to the side of the slab (they have transverse processes there) or to the image's
#: edge; else the label ends in the pedicle, mm. [own] intact: 9.3 and more on 80 sides.
LEAST_BESIDE_SLAB_MM: Final = 2.5
#: Slices from here on are too thick to trust the third digit, mm. [DESIGN]
THICK_SLICES_MM: Final = 3.0

# --- the frame -------------------------------------------------------------------------------------------------------
#: Largest angle between the disc's normal and the patient's superior direction. [DESIGN]
LARGEST_TILT_DEG: Final = 60.0
#: The level is asymmetric, and its frame unsure, above this disagreement of frame and mirror image. [DESIGN]
UNSTABLE_FRAME_DEG: Final = 5.0
#: Rounds of frame and pedicles; they converge to 0.01 degrees in three. [own]
FRAME_ROUNDS: Final = 4

# --- pedicles and slab -----------------------------------------------------------------------------------------------
#: Half-width of the strip of the posterior wall that the wall's plane is fitted to. [own] inside any canal.
WALL_HALF_WIDTH_MM: Final = 8.0
#: How far behind the local wall the pedicle is cut. [DESIGN]
SECTIONS_BEHIND_WALL_MM: Final = (1.0, 5.0)
#: Share of its greatest height at which the pedicle begins and ends. [DESIGN]
PEDICLE_SHARE: Final = 0.6
#: The lateral border lies at most this far from the medial one. [DESIGN]
WIDEST_PEDICLE_MM: Final = 14.0
#: Lower than this is no pedicle. [own] half of the smallest of Cook and Baker 2021 (12.9, SD 1.9).
LOWEST_PEDICLE_MM: Final = 5.0
#: A pedicle that the image cuts on the side away from the disc still shows its borders from this height on, mm. [own]
#: the mean of Cook and Baker less 1.5 SD.
LEAST_CUT_PEDICLE_MM: Final = 10.0

# --- opening and outline ---------------------------------------------------------------------------------------------
#: Distance of samples in the lateral view, and along L. [own]
VIEW_STEP_MM: Final = 0.4
DEPTH_STEP_MM: Final = 0.5
#: Distance of the outline's points when it is found, and the largest when its points have been moved. [DESIGN]
OUTLINE_STEP_MM: Final = 0.25
FARTHEST_POINTS_MM: Final = 0.5
#: What the lateral view shows: (A low, A high, S low, S high) from the middle of the posterior walls. [own]
VIEW_MM: Final = (-24.0, 10.0, -28.0, 28.0)
#: A second part of the opening larger than this is a split. [DESIGN]
LARGEST_SECOND_PART_MM2: Final = 5.0
#: Longest closing segment across the joint. [DESIGN]
LARGEST_GAP_MM: Final = 2.0
#: Runs of one part shorter than this belong to their neighbours. [own] one voxel.
SHORTEST_RUN_MM: Final = 0.8
#: Behind the wall by more than this an outline is no longer wall. [DESIGN: where the pedicle's sections begin]
WALL_DEPTH_MM: Final = 1.0
#: Behind the wall by more than this it is articular process. [own] pedicles are 6 to 9 long behind the wall.
PEDICLE_DEPTH_MM: Final = 8.0
#: Posterior component of the outward normal that an end of FW needs. [DESIGN]
POSTERIOR_NORMAL: Final = 0.5
#: The superior articular process bounds at least this share of the back of the outline's lower half. [own]
LOWER_BACK_SHARE: Final = 0.6
#: It reaches at least this share of FH above the outline's bottom. [own] intact: 0.41 to 0.80 on nine people's CT, 0.59
#: and more on 60 phantoms; without its upper half: 0.32 to 0.48.
FACET_SHARE: Final = 0.40
#: A plane laid on its top touches it within the first of these depths, mm; the share is that within the second. [own]
PLATEAU_DEPTH_MM: Final = 0.6
TIP_DEPTH_MM: Final = 3.0
#: A flat on its top wider than this, weighted by its share of the tip, is a section: the tip is missing, mm. [own]
#: intact: at most 2.25 on 119 sides of eleven people at L1 to L5 (2.36 on one that is split), 2.05 on 68 of phantoms.
#: With a cut that makes FA wrong by more than 10 % and 10 mm²: 4.1 and more on phantoms; on people, of the
#: cuts that LOWER_BACK_SHARE and FACET_SHARE let pass, 14 of 20 quarters and 4 of 5 halves lie above (the fifth: 3 mm
#: slices).
LARGEST_PLATEAU_MM: Final = 2.4

#: Hollow in both directions with radii below this is a bowl, mm. Where more of it lies near the outline than beside
#: each of these smoothings (SD, mm; mm²), a piece was bitten out: the finer one counts voxel steps of flat walls too,
#: the coarser one does not. [own] intact, finer: 9.6 at most on 315 sides of people and phantoms, 18.6 on walls of
#: boxes at 1 mm, whose coarser is 4.5 at most. Bites of 3 to 9 mm seen this way: 19 and more, 7 and more.
BOWL_RADIUS_MM: Final = 12.5
LARGEST_BOWLS: Final = ((1.0, 12.5), (1.4, 5.5))
#: Across a joint the upper vertebra's surface lies at most this far from the superior articular process, mm; of less
#: than the first area, mm², a process that was worn down or bitten shows; of less than the second where the other
#: side's is larger by the third. [own] intact: 66 at least on 315 sides, and 79 on those measured of less than 0.65
#: times the other side's; a process 2 to 3 voxels too thin: 51 at most on 25 of 27 whose FA is too large; its tip
#: bitten off so that FA is: 60 at most on 5 of 7.
JOINT_MM: Final = 3.0
LEAST_JOINT_MM2: Final = 62.0
SMALL_JOINT_MM2: Final = 75.0
SMALL_JOINT_SHARE: Final = 0.65

#: The disc's edge lies in front of the line between the walls' hindmost points by at most this, mm. [own] intact: 2.8
#: at most on 83 sides; deeper, the back of the disc is missing and the outline runs into the disc's space.
LARGEST_DISC_RECESS_MM: Final = 3.3

#: The outermost point of a line that is unsure by a tenth of a millimetre lies too far out: FH is read off the outline
#: smoothed along itself by this, mm. [own]
HEIGHT_SMOOTHING_MM: Final = 0.75

# --- numbers ---------------------------------------------------------------------------------------------------------
#: Heights of ``widths_mm``, share of FH from the bottom. [DESIGN]
WIDTH_HEIGHTS: Final = {"superior": 0.75, "middle": 0.5, "inferior": 0.25}
#: Foraminoplasty thresholds. [Chen]
THRESHOLD_HEIGHT_MM: Final = 15.0
THRESHOLD_WIDTH_MM: Final = 8.0
#: A threshold within this many SD is borderline. [DESIGN]
BORDERLINE_SD: Final = 2.0
#: Outside these a number is unusual. [DESIGN]
USUAL_AREA_MM2: Final = (40.0, 220.0)
USUAL_HEIGHT_MM: Final = (10.0, 26.0)
USUAL_WIDTH_MM: Final = (1.5, 12.0)
#: Sides further apart than this (of their mean) are unusual. [DESIGN]
USUAL_DIFFERENCE: Final = 0.4
#: Outside these no human foramen lies. [own] twice Chen's largest plus 3 SD; a fifth of its smallest.
POSSIBLE_AREA_MM2: Final = (3.0, 500.0)
POSSIBLE_HEIGHT_MM: Final = (3.0, 45.0)
#: Slip of the upper on the lower posterior wall that is called spondylolisthesis. [own] Meyerding I starts at 3 mm.
SLIP_MM: Final = 3.0
