-- The median number of followers by the year in which users joined.
WITH post AS (
    SELECT
        CAST(substr(CAST(users.date_joined AS text), 1, 4) AS integer) AS join_year,
        pin.follower_count
    FROM pin
    JOIN users ON users.ind = pin.ind
),
ranked AS (
    SELECT
        join_year,
        follower_count,
        row_number() OVER (PARTITION BY join_year ORDER BY follower_count) AS place,
        count(*) OVER (PARTITION BY join_year) AS posts
    FROM post
    WHERE join_year IS NOT NULL AND follower_count IS NOT NULL
)
-- The one in the middle, or the mean of the two there.
SELECT join_year, CAST(avg(follower_count) AS double precision) AS median_follower_count
FROM ranked
WHERE place IN ((posts + 1) / 2, (posts + 2) / 2)
GROUP BY join_year
ORDER BY join_year;
