-- The user with most followers in each country: who made the post.
WITH ranked AS (
    SELECT
        geo.country,
        pin.poster_name,
        pin.follower_count,
        rank() OVER (PARTITION BY geo.country ORDER BY pin.follower_count DESC) AS place
    FROM pin
    JOIN geo ON geo.ind = pin.ind
    -- On Postgres, those of whom it is not known would come first.
    WHERE pin.follower_count IS NOT NULL
)
SELECT DISTINCT country, poster_name, follower_count
FROM ranked
WHERE place = 1
ORDER BY country, poster_name;
