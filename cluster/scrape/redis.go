package scrape

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"coinbench/history"
)

// QuietRedis stops go-redis from printing: its errors come back to us as well.
var QuietRedis = sync.OnceFunc(func() { goredis.SetLogger(silence{}) })

type silence struct{}

// Printf says nothing.
func (silence) Printf(context.Context, string, ...any) {}

// Redis reads the app's two keys: how many hashes were counted, and how many coins are in the wallet.
func Redis(ctx context.Context, client *goredis.Client) (map[string]float64, error) {
	pipe := client.Pipeline()
	hashes, coins := pipe.Get(ctx, "hashes"), pipe.HLen(ctx, "wallet")
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	values := map[string]float64{history.RedisHashes: 0, history.RedisCoins: float64(coins.Val())}
	if text := hashes.Val(); text != "" { // no key before the first worker counts
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("key hashes is %q, not a number", text)
		}
		values[history.RedisHashes] = n
	}
	return values, nil
}
