package worker

import (
	"context"

	"github.com/redis/go-redis/v9"

	"coinbench/services/serve"
	"coinbench/services/settings"
)

// The keys of the app in Redis.
const (
	hashesKey = "hashes" // string: how many hashes were done
	walletKey = "wallet" // hash: coin -> the random bytes that it is the hash of
)

// redisStore keeps one connection and does not hide that it broke: no retries, no reconnection before Reset.
type redisStore struct {
	client *redis.Client
	conn   *redis.Conn
}

func dialRedis(s settings.Settings, p serve.Process) *redisStore {
	options := serve.Redis(s, p)
	options.DialTimeout = -1                           // the settings' connect timeout is in the dialer
	options.ReadTimeout, options.WriteTimeout = -1, -1 // none, as in the original
	options.PoolSize = 1
	client := redis.NewClient(&options)
	return &redisStore{client: client, conn: client.Conn()}
}

func (s *redisStore) Count(ctx context.Context, hashes int) error {
	return s.conn.IncrBy(ctx, hashesKey, int64(hashes)).Err()
}

func (s *redisStore) Keep(ctx context.Context, hash string, random []byte) (bool, error) {
	n, err := s.conn.HSet(ctx, walletKey, hash, random).Result()
	return n == 1, err
}

func (s *redisStore) Reset() {
	s.conn.Close()
	s.conn = s.client.Conn()
}

// Close breaks the connection, also in the middle of a command.
func (s *redisStore) Close() error { return s.client.Close() }
