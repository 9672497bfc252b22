/* report.html of a run: one page that needs no other file. */
#ifndef RECIPES_REPORT_H
#define RECIPES_REPORT_H

#include "evaluate.h"

/* Writes FOLDER/report.html from run.json, metrics.jsonl and samples/. `e`: figures and codebook use, NULL = none; `on`: what they
 * were measured on ("validation, 512 images"). */
ag_err report_write(const char *folder, const evaluation *e, const char *on);

#endif
