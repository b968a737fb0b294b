#!/usr/bin/env bash
# Makes the run folders of version_0_1/ in an empty folder, with commit e1b6908 installed.
set -eu
export KERAS_BACKEND=tensorflow TFDS_DATA_DIR=$PWD/tfds
mkdir out
python - <<'PYTHON'
import csv

import numpy as np

for name, n, seed in (("source", 400, 1), ("target", 200, 2)):
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.05, 1.2, n)
    m = 20 + 2.5 * z + rng.normal(0, 0.6, n)
    colours = [0.3 + 1.2 * z, 0.2 + 0.8 * z**1.5, 0.5 - 0.4 * z]
    g, i, y = (np.stack(colours, 1) + rng.normal(0, 0.08, (n, 3))).T
    magnitudes = np.stack([m + g, m, m - i, m - i - y], 1)
    errors = 0.02 + 0.01 * rng.random((n, 4))
    with open(f"{name}.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "redshift", *"griz", *(f"{b}_err" for b in "griz")])
        for row in range(n):
            values = [f"{x:.4f}" for x in (*magnitudes[row], *errors[row])]
            rows.writerow([f"{name}{row}", f"{z[row]:.5f}", *values])

for name, n, seed in (("source", 60, 3), ("target", 60, 4), ("out/images", 8, 5)):
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.1, 1, n)
    y, x = np.mgrid[-10:10, -10:10] + 0.5
    shape = np.exp(-(x**2 + y**2) / 2 / (2 + 3 * z[:, None, None]) ** 2)
    bands = np.array([1, 2, 4.0])[None] ** z[:, None]
    flux = 20 * shape[:, None] * bands[:, :, None, None]
    stamps = (flux + rng.normal(0, 0.3, flux.shape)).astype("float32")
    ids = np.array([f"{seed}-{i}" for i in range(n)])
    np.savez_compressed(f"{name}.npz", stamps=stamps, zspec=z, name=ids, magnitude=22 - z)
PYTHON

columns="--magnitudes g,r,i,z --magnitude-errors g_err,r_err,i_err,z_err --bands=g,r,i,z
  --key redshift=redshift --key id=id"
name() { python -c "import json, sys; print(json.load(sys.stdin)['survey'])"; }
for each in source target; do
  kphotoz data import $each.csv $columns --photometry=unknown --skip-bad --name=$each \
    --json | name > $each.name
done
tiny="--set=model.photometry_units=[8] --set=model.head_units=[4]
  --set=training.minimum_steps=0 --precision=float32"
fit="kphotoz fit tabular_transfer --source $(cat source.name) --data $(cat target.name)
  $tiny --set=model.quantile_bins=4 --set=training.epochs=3"
$fit --out out/catalog_base
$fit --out out/catalog_lora --regime lora --base out/catalog_base
head -31 target.csv > out/catalog.csv

pixels="--bands=g,r,i --pixel-scale=0.2 --key=image=stamps --key=id=name
  --key=redshift=zspec"
fit="kphotoz fit cutouts --source=source.npz --data=target.npz $pixels $tiny
  --photometry=unknown --splits=0.5,0.2,0.1,0.2 --set=model.filters=[4,4]
  --set=model.image_units=4 --set=model.crop=16 --set=model.radii=[1.5,3.0]
  --set=training.epochs=2 --set=training.batch_size=16"
$fit --out out/images_base
$fit --out out/images_lora --regime lora --base out/images_base

for run in base lora; do
  kphotoz predict out/catalog_$run out/catalog.csv $columns \
    --out out/catalog_$run/predicted.csv
  kphotoz predict out/images_$run out/images.npz $pixels \
    --out out/images_$run/predicted.csv
done
kphotoz evaluate out/catalog_lora/predicted.csv --json > out/evaluated.json
