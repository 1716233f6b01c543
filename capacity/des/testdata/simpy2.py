"""DockerCoins in SimPy 2: simpy2.py WORKERS RNG HASHERS SECONDS EXPONENTIAL prints the hashes and the wall time in seconds."""
import itertools, random, sys, time
from SimPy.Simulation import Process, Resource, Simulation, hold, release, request

workers, rngs, hashers, seconds, exponential = map(int, sys.argv[1:])
random.seed(1)
sim = Simulation()
rng = [Resource(1, sim=sim) for _ in range(rngs)]
hasher = [Resource(20, sim=sim) for _ in range(hashers)]
turn, turn2 = itertools.cycle(rng), itertools.cycle(hasher)
delay = (lambda: random.expovariate(10)) if exponential else (lambda: .1)
hashes = 0


class Worker(Process):
    def loop(self):
        global hashes
        yield hold, self, random.random() * .3
        while True:
            yield hold, self, .1
            for turns in turn, turn2:
                server = next(turns)
                yield request, self, server
                yield hold, self, delay()
                yield release, self, server
            hashes += 1


for i in range(workers):
    w = Worker(sim=sim)
    sim.activate(w, w.loop())
begin = time.perf_counter()
sim.simulate(until=seconds)
print(hashes, time.perf_counter() - begin)
