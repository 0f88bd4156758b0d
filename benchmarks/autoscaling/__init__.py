"""Which signal should scale replicas: Kubernetes' own arithmetic on a simulated cluster.

Service times, start-up times and the agreement of the simulation with a server are measured.
"""
