"""Consistency models: CD, CT, iCT and ECM.

The network at the noisier point of a trajectory, at level t, is pulled towards the network at a cleaner point, at
level r, which is held fixed (`objective`). The members differ in these points:

                 CD                      CT                      iCT                     ECM
starts from      EDM (VE), its teacher   nothing                 nothing                 EDM (VP)
cleaner point    teacher's Heun step     same noise              same noise              same noise
levels t         fixed grid, all alike   N(k) grows as a root,   N(k) doubles,           no grid, log-normal
                                         all alike               log-normal
level r          next on the grid        next on the grid        next on the grid        r(t) by stages, 0 at first
target network   the student             average with mu(k)      the student             the student; image where r = 0
distance         perceptual              perceptual              Huber, whole image      norm, whole image
weight           1                       1                       1 / (t - r)             1 / (t - r)
f(x, eps) = x    always                  always                  always                  only when it is evaluated
network          NCSN++                  NCSN++                  NCSN++, slow Fourier    DDPM++, dropout
                                                                 features, dropout

All share dropout masks between the two points and are trained with RAdam. The numbers are in `configs/methods`.
"""
