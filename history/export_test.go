package history

import "io"

// DecodeLines are the values that decodeEach takes.
func DecodeLines[T any](in io.Reader) (values []T, faults []string, err error) {
	faults, err = decodeEach(in, func(v *T) error {
		values = append(values, *v)
		return nil
	})
	return values, faults, err
}
