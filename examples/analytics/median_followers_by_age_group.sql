-- The median number of followers in each age group.
WITH post AS (
    SELECT
        CASE
            WHEN users.age BETWEEN 18 AND 24 THEN '18-24'
            WHEN users.age BETWEEN 25 AND 35 THEN '25-35'
            WHEN users.age BETWEEN 36 AND 50 THEN '36-50'
            WHEN users.age > 50 THEN '50+'
        END AS age_group,
        pin.follower_count
    FROM pin
    JOIN users ON users.ind = pin.ind
),
ranked AS (
    SELECT
        age_group,
        follower_count,
        row_number() OVER (PARTITION BY age_group ORDER BY follower_count) AS place,
        count(*) OVER (PARTITION BY age_group) AS posts
    FROM post
    WHERE age_group IS NOT NULL AND follower_count IS NOT NULL
)
-- The one in the middle, or the mean of the two there.
SELECT age_group, CAST(avg(follower_count) AS double precision) AS median_follower_count
FROM ranked
WHERE place IN ((posts + 1) / 2, (posts + 2) / 2)
GROUP BY age_group
ORDER BY age_group;
