from benchmarks.generation.workload import LONGEST, MEAN_LENGTH, PROMPT_SYMBOLS, SHORTEST, make_jobs

VOCABULARY = tuple("abc ")


def test_jobs_are_the_same_at_every_call() -> None:
    assert make_jobs(VOCABULARY, 8, "mixed") == make_jobs(VOCABULARY, 8, "mixed")


def test_fixed_jobs_have_one_length_and_seeds_of_their_own() -> None:
    jobs = make_jobs(VOCABULARY, 8, "fixed")
    assert {job.max_tokens for job in jobs} == {MEAN_LENGTH}
    assert len({job.seed for job in jobs}) == 8
    assert {len(job.prompt) for job in jobs} == {PROMPT_SYMBOLS}
    assert set("".join(job.prompt for job in jobs)) <= set(VOCABULARY)


def test_mixed_jobs_vary_within_bounds_around_the_same_mean() -> None:
    lengths = [job.max_tokens for job in make_jobs(VOCABULARY, 2000, "mixed")]
    assert min(lengths) >= SHORTEST
    assert max(lengths) <= LONGEST
    assert abs(sum(lengths) / len(lengths) - MEAN_LENGTH) < 0.1 * MEAN_LENGTH
    assert max(lengths) > 4 * MEAN_LENGTH
