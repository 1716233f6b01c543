// Package queueing predicts throughput and response time from service demands: operational laws and bounds, exact
// solutions of closed product-form networks, the classic open queues, and the Universal Scalability Law fitted to
// measured points.
//
//	           +---------- think Z ----------+
//	           |                             |
//	N clients  +--> station 1 --> station 2 -+     closed: N is given, X and R follow     Network
//
//	rate  -->  |||| c servers  -->                 open: the rate is given, R follows     MM1, MMC, MMCK, MG1, MD1
//
//	(N, X) measured  -->  lambda, sigma, kappa     fitted: what the points allow to say   Fit
//
// Numbers enter and values leave; nothing is opened, drawn or printed. Every function names the source of its formula, what
// it assumes and where it holds, and returns an error outside. Times are seconds, rates are per second, ratios 0..1.
//
// The models disagree where their assumptions do. Product-form networks assume service times that vary as an exponential
// does (coefficient of variation 1): for DockerCoins with its constant delays they predict 7.9 hashes/s at three workers and
// one rng, where the app does 10. Asymptotic bounds assume nothing of the kind and are nearly met by constant delays.
// Package des simulates what no formula covers.
//
// Sources, as they are cited:
//
//   - Denning and Buzen 1978: "The Operational Analysis of Queueing Network Models", ACM Computing Surveys 10(3).
//   - Lazowska 1984: Lazowska, Zahorjan, Graham, Sevcik, "Quantitative System Performance", Prentice-Hall.
//   - Reiser and Lavenberg 1980: "Mean-Value Analysis of Closed Multichain Queuing Networks", JACM 27(2).
//   - Buzen 1973: "Computational Algorithms for Closed Queueing Networks with Exponential Servers", CACM 16(9).
//   - Kleinrock 1975: "Queueing Systems, volume 1: Theory", Wiley.
//   - Harchol-Balter 2013: "Performance Modeling and Design of Computer Systems", Cambridge University Press.
//   - Gunther 2007: "Guerrilla Capacity Planning", Springer.
//   - Hurvich and Tsai 1989: "Regression and time series model selection in small samples", Biometrika 76(2).
package queueing
