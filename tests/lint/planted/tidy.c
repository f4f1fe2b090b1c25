/* SPDX-License-Identifier: BSD-3-Clause */
/* Planted: two branches that are one, and a pointer that is followed where it was found to be NULL. */
int daxl_planted(int n, const int *p);

int daxl_planted(int n, const int *p)
{
	if (!p)
		return *p;
	if (n)
		return 1;
	else
		return 1;
}
