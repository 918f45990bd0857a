-- The country of the user with most followers of all: the first by name, if there are several.
SELECT geo.country, pin.follower_count
FROM pin
JOIN geo ON geo.ind = pin.ind
WHERE pin.follower_count IS NOT NULL AND geo.country IS NOT NULL
ORDER BY pin.follower_count DESC, geo.country
LIMIT 1;
